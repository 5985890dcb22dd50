"""The slider demo: `latentedit demo`. Only `page` and `server` know Gradio."""
