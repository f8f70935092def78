"""Runs the demo: `python -m ironflow.cli.demo`."""

from ironflow.cli.demo.scenario import main

main()
