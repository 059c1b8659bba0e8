"""Photos of handwritten digits, made from seeds: sheets, pens, light and cameras that the fit of a digit must bear."""
