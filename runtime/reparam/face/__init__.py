"""What a loaded model can do, one theme a file; `reparam.VAE` has them all."""
