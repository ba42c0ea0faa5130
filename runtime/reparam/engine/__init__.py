"""What runs the graphs, and where: onnxruntime without its silent choices."""
