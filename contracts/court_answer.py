"""The answer of a court without a node: the text it signs, and its signature held against its registered key.

The text is made from the answer's parts, so that what is signed is what the chain then says, and whoever gets the file
can make it again with any editor and check it with openssl alone.
"""
