"""Pictures of the plugin."""
