"""Modules of PyTorch, traced by torch.export. torch is imported where a module was given, and nowhere else."""
