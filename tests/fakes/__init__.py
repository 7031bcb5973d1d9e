"""Clean histories of trade, fakes planted into them, and how many of those the contracts notice."""
