"""One module per page; each is a script that Streamlit runs."""
