"""The scoreboard: `make bench` prints it. One file per row, each figure a ratio measured in one run."""
