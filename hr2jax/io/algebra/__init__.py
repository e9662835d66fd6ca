"""What all formats of graphs share: tensors as affine expressions in the layers that are done."""
