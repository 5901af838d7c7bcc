"""Places on other machines: files and folders named by URLs, read and written through fsspec."""
