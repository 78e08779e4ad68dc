"""How the images of the Acme world are drawn; `data/make_images.py` calls it."""
