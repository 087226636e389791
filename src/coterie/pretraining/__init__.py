"""How the embedded backbone was made: public drawings, scenes made from them, and the training loop."""
