"""The engine: networks as data, plans, and the session that runs them."""
