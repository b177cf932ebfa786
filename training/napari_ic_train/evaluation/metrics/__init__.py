"""What the report measures, as pure functions of arrays: no model, no store, no torch."""
