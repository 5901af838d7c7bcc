"""The page of a run: `index.html`, which opens from disk and shows each image beside its maps, numbers and curves.

The page is made of the files of a run folder alone, so it can be made for any run. Its code is plain JavaScript, in
`page/`; Python reads the folder (`reading`), makes the small pictures (`thumbnails`) and puts the page together (`paper`).
"""
