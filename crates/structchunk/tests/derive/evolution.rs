use structchunk::Object;

#[derive(Object)]
#[object(extends = "c73a1bf72f734ef")]
#[repr(C)]
struct ShortFingerprint {
    x: u32,
}

#[derive(Object)]
#[object(extends = "Point")]
#[repr(C)]
struct QuotedType {
    x: u32,
}

#[derive(Object)]
#[object(extends = Vec<u8>)]
#[repr(C)]
struct NoObject {
    x: u32,
}

#[derive(Object)]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(Object)]
#[object(extends = Point)]
#[repr(C)]
struct Inserted {
    x: f64,
    z: f64,
    y: f64,
}

#[derive(Object)]
#[object(extends = Point)]
#[repr(C)]
struct RenamedInSilence {
    x: f64,
    z: f64,
    w: f64,
}

#[derive(Object)]
#[object(extends = Point)]
#[repr(C)]
struct OtherKind {
    x: f64,
    y: i64,
    z: f64,
}

#[derive(Object)]
#[object(extends = Point)]
#[repr(C)]
struct Shorter {
    x: f64,
}

#[derive(Object)]
#[object(extends = Point)]
#[repr(C)]
struct Unchanged {
    x: f64,
    y: f64,
}

#[derive(Object)]
#[object(extends = "c73a1bf72f734efc")]
#[repr(C)]
struct Itself {
    x: f64,
    y: f64,
}

#[derive(Object)]
#[object(extends = Point)]
#[repr(C)]
struct NoSuchField {
    x: f64,
    y: f64,
    #[object(renamed_from = "w")]
    z: f64,
}

#[derive(Object)]
#[object(extends = Point)]
#[repr(C)]
struct OwnName {
    #[object(renamed_from = "x")]
    x: f64,
    y: f64,
    z: f64,
}

#[derive(Object)]
#[repr(C)]
struct NothingExtended {
    #[object(default = 1.0)]
    x: f64,
    #[object(renamed_from = "z")]
    y: f64,
}

#[derive(Object)]
#[object(extends = Point)]
#[repr(C)]
struct WrongDefault {
    x: f64,
    y: f64,
    #[object(default = "one")]
    z: f64,
}

#[derive(Object)]
#[object(extends = Point)]
#[repr(C)]
struct DefaultOfPadding {
    x: f64,
    y: f64,
    z: u32,
    #[object(padding, default = [0; 4])]
    _pad: [u8; 4],
}

#[derive(Object)]
#[object(extends = Point, extends = Point)]
#[repr(C)]
struct Twice {
    x: f64,
    y: f64,
    z: f64,
}

fn main() {
    let store = structchunk::Store::in_memory().unwrap();
    let _ = store.load_as::<Point>("key");
}
