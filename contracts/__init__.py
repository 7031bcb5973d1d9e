"""System contracts: pure integer functions of (state view, block context, arguments)."""
