"""`hr2jax completion`: what a shell needs to complete commands, options and files."""

from __future__ import annotations

import argparse

from ..text import install
from .answer import YES


def completion_command(arguments: argparse.Namespace) -> int:
    """Print the script for a shell."""
    try:
        import shtab
    except ImportError as error:
        raise ImportError(f"completion needs shtab: {install('shtab')} ({error})") from None
    print(shtab.complete(arguments.parser, shell=arguments.shell))
    return YES


COMPLETION = """Print a script that makes a shell complete commands, options and their choices. Needs the package shtab.
"""
COMPLETION_EXAMPLES = """examples:
  hr2jax completion bash > ~/.local/share/bash-completion/completions/hr2jax
  hr2jax completion zsh > ~/.zfunc/_hr2jax         (a folder of $fpath)

"""
