"""The networks: generator (Attention U-Net with ConvLSTM) and discriminator (PatchGAN)."""
