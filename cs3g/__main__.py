"""`python -m cs3g` is the `cs3g` command."""

from cs3g.cli import main

main()
