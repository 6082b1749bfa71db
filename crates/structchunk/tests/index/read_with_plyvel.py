"""Reads the index of a closed store with a LevelDB client that is not structchunk's, by what FORMAT.md says of it.

Prints, as lines of words, the mark and then every entry in the order in which LevelDB yields them:

    mark UUID EPOCH SEQUENCE POSITION BOOT
    KEY LOCATION SEQUENCE

Bytes are in hexadecimal digits, numbers in decimal ones.
"""

import struct
import sys

import plyvel


def main(store):
    index = plyvel.DB(store + "/index", create_if_missing=False, paranoid_checks=True)
    with index.iterator(verify_checksums=True) as entries:
        for key, value in entries:
            if key == b"":
                uuid, epoch, sequence, position, boot = struct.unpack("<16sQQQ16s", value)
                print("mark", uuid.hex(), epoch, sequence, position, boot.hex())
            else:
                location, sequence = struct.unpack("<QQ", value)
                print(key.hex(), location, sequence)
    index.close()


if __name__ == "__main__":
    main(sys.argv[1])
