"""One file a format: where the values of a variable lie in a source file, and what the file says of them."""
