//! `#[derive(Object)]`; see the documentation of `structchunk::Object`.
