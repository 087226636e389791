"""How adapter files name their tensors, one layout a file.

A layout is a function from a layer's name to the keys of its tensors. Reading needs no inverse: the backbone's own
layers are the only names that can be meant, so their keys are looked up. That is also why underscores in place of
dots (kohya) lose nothing here.
"""
