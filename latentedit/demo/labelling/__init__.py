"""The page of `latentedit label-seeds`: one face at a time, two keys. No Gradio."""
