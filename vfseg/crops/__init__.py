"""Cases become what the networks eat: crops in a store, windows of slices, augmentation."""
