"""The files of outputs: pictures, videos and playlists, made on request, and the URLs that lead to them."""
