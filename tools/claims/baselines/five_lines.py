"""The shortest script that classifies an image file with an int8 file of MNIST's CNN; `startup.py` times it."""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

model = Interpreter(sys.argv[1], num_threads=1)
model.allocate_tensors()
pixels = np.asarray(Image.open(sys.argv[2]).convert("L")) ^ 128
model.set_tensor(model.get_input_details()[0]["index"], pixels.view(np.int8)[np.newaxis, :, :, np.newaxis])
model.invoke()
print(model.get_tensor(model.get_output_details()[0]["index"]).argmax())
