package bedeck.hollow;

import java.io.BufferedInputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Reads a file that `benchmarks/columns.py` has written: the records of one type, in batches, column by column. */
final class Columns implements Closeable {
    private static final int BUFFER = 1 << 20;

    /** What a column is called, what is in it, and the type that it refers to, or "". */
    record Head(String name, String kind, String target) {}

    /** Texts one after another. */
    record Texts(int[] ends, byte[] bytes) {
        int size() {
            return ends.length - 1;
        }

        String get(int row) {
            return new String(bytes, ends[row], ends[row + 1] - ends[row], StandardCharsets.UTF_8);
        }
    }

    private final DataInputStream in;
    final List<Head> heads = new ArrayList<>();

    Columns(Path file) throws IOException {
        in = new DataInputStream(new BufferedInputStream(Files.newInputStream(file), BUFFER));
        for (int left = in.readInt(); left > 0; left--) {
            heads.add(new Head(in.readUTF(), in.readUTF(), in.readUTF()));
        }
    }

    /** A number by itself: how many rows a batch has (0 after the last), how many texts or items follow. */
    int count() throws IOException {
        return in.readInt();
    }

    byte[] bytes(int count) throws IOException {
        byte[] bytes = new byte[count];
        in.readFully(bytes);
        return bytes;
    }

    int[] ints(int count) throws IOException {
        int[] ints = new int[count];
        ByteBuffer.wrap(bytes(Math.multiplyExact(count, Integer.BYTES))).asIntBuffer().get(ints);
        return ints;
    }

    long[] longs(int count) throws IOException {
        long[] longs = new long[count];
        ByteBuffer.wrap(bytes(Math.multiplyExact(count, Long.BYTES))).asLongBuffer().get(longs);
        return longs;
    }

    Texts texts(int count) throws IOException {
        int[] ends = ints(count + 1);
        return new Texts(ends, bytes(ends[count]));
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
