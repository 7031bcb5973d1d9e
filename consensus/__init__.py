"""Agreement as a state machine without I/O (PROTOCOL.md R1-R15): ``step(event) -> effects``."""
