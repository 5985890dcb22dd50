"""Read and write photos, find and align their faces, and put edits back."""
