"""What a bundle costs here, by device, precision, path, threads and batch: `reparam benchmark`."""
