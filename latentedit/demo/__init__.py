"""The slider page of `latentedit demo`. Only `server` imports Gradio."""
