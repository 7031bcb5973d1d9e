"""Hand-driven agreement for directed tests and scenarios: real cores, real keys, no network, no clock."""
