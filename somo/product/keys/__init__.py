"""Every key of a declaration, from the models themselves: a page of the documentation, and editors' JSON schema.

The text below a field is its meaning, and its `examples` are what somebody might write; neither stands anywhere else.
"""
