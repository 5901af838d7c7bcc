"""Where the objects of the images are: mask files of every encoding, boxes, or the annotations of COCO."""
