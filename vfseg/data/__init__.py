"""From the files of a user to cases: volumes, vertebrae, boxes, grades, manifests."""
