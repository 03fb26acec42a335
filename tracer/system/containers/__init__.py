"""Containers from their engines' own files: with the daemon stuck or its command gone as well."""
