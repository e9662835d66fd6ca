"""The machine: files, memory, devices, interrupts, threads, clocks, seeds, compiled programs."""
