"""The folder of a training run: its record, its status, and what is reported while it trains."""
