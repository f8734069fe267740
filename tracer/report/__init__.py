"""What people read: the terminal's text, from documents and other values of the library."""
