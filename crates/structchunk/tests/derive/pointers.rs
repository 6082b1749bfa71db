use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct Node {
    next: *const Node,
    parent: &'static Node,
    children: [*mut Node; 2],
    visit: fn(&Node),
}

fn main() {}
