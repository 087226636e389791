"""Families of text-to-image models, one a file: which pipelines they are, and how their denoiser is asked."""
