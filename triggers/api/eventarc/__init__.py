"""The Eventarc API v1 and its publishing, as Google's clients speak them."""
