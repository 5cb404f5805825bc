"""Where blobs live: files by the SHA-256 of their content. Contract in base, local folder in files."""
