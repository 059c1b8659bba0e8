"""What measures and judges an exported file, on the workstation or the device: numpy, edge and one runtime."""
