"""The manual pages, from the commands and a page of data for each; completion scripts."""
