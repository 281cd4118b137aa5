use drua_types::ImageRef;

/// An image's name as people write it, with its tag: `busybox:latest`. What is no name (an id) stays as it is.
pub(crate) fn image_display_name(text: &str) -> String {
    text.parse::<ImageRef>().map_or_else(|_| text.to_owned(), |image| image.familiar())
}

/// Repository and tag (or digest) to pull an image by.
pub(crate) fn remote_image(image: &ImageRef) -> (String, String) {
    let name = image.to_string();
    if let Some((repository, digest)) = name.split_once('@') {
        // A tag beside a digest says nothing: the digest decides. A colon before a slash belongs to the port.
        let bare =
            repository.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(repository, |(bare, _)| bare);
        return (bare.to_owned(), digest.to_owned());
    }
    match name.rsplit_once(':') {
        Some((repository, tag)) => (repository.to_owned(), tag.to_owned()),
        None => (name, "latest".to_owned()),
    }
}
