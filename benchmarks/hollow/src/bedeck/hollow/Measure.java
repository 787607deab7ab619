package bedeck.hollow;

import com.netflix.hollow.core.read.HollowBlobInput;
import com.netflix.hollow.core.read.engine.HollowBlobReader;
import com.netflix.hollow.core.read.engine.HollowReadStateEngine;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Function;

/**
 * Loads a snapshot, answers lists, and times that: `Measure BLOB FOLDER CASES SECONDS`.
 *
 * <p>In the folder are files of lists, one a line: `check`, whose answers are written as JSON, and for each case, from
 * 0 on, `warm-N`, answered over and over for so many seconds, and `timed-N`, each of which is timed. Written are
 * `JOB-check`, an answer a line, `JOB-N`, nanoseconds as 8 bytes each, and `told`.
 */
public final class Measure {
    private static final int BUFFER = 1 << 20;
    private static final int COLLECTIONS = 3; // until nothing more is found
    private static Object held; // so that no answer is optimised away

    private final Path folder;
    private final int cases;
    private final long warmUp;

    private Measure(String[] arguments) {
        folder = Path.of(arguments[1]);
        cases = Integer.parseInt(arguments[2]);
        warmUp = (long) (Double.parseDouble(arguments[3]) * 1e9);
    }

    public static void main(String[] arguments) throws IOException {
        Measure measure = new Measure(arguments);
        Tracks tracks = measure.load(Path.of(arguments[0]));
        Json json = new Json();
        measure.check("json", tracks::json);
        measure.check("dicts", ids -> json.start().value(tracks.maps(ids)).finish());
        measure.time("json", tracks::json);
        measure.time("dicts", tracks::maps);
    }

    private Tracks load(Path blob) throws IOException {
        HollowReadStateEngine engine = new HollowReadStateEngine();
        long start = System.nanoTime();
        try (InputStream in = new BufferedInputStream(Files.newInputStream(blob), BUFFER)) {
            new HollowBlobReader(engine).readSnapshot(HollowBlobInput.serial(in));
        }
        long read = System.nanoTime();
        Tracks tracks = new Tracks(engine);
        long indexed = System.nanoTime();
        String told = String.format(
                "{\"read\": %d, \"index\": %d, \"heap\": %d, \"java\": \"%s %s\"}",
                read - start,
                indexed - read,
                used(),
                System.getProperty("java.vm.name"),
                System.getProperty("java.vm.version"));
        Files.writeString(folder.resolve("told"), told);
        return tracks;
    }

    private static long used() {
        for (int done = 0; done < COLLECTIONS; done++) {
            System.gc();
        }
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }

    private void check(String job, Function<String[], byte[]> answer) throws IOException {
        try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(folder.resolve(job + "-check")))) {
            for (String list : lists("check")) {
                out.write(answer.apply(list.split(" ")));
                out.write('\n');
            }
        }
    }

    private void time(String job, Function<String[], ?> answer) throws IOException {
        for (int number = 0; number < cases; number++) {
            warm(lists("warm-" + number), answer);
            long[] taken = time(lists("timed-" + number), answer);
            try (DataOutputStream out = new DataOutputStream(
                    new BufferedOutputStream(Files.newOutputStream(folder.resolve(job + "-" + number))))) {
                for (long nanoseconds : taken) {
                    out.writeLong(nanoseconds);
                }
            }
        }
    }

    private void warm(List<String> lists, Function<String[], ?> answer) {
        long until = System.nanoTime() + warmUp;
        for (int place = 0; System.nanoTime() < until; place = (place + 1) % lists.size()) {
            held = answer.apply(lists.get(place).split(" "));
        }
    }

    private static long[] time(List<String> lists, Function<String[], ?> answer) {
        long[] taken = new long[lists.size()];
        for (int place = 0; place < taken.length; place++) {
            String[] ids = lists.get(place).split(" ");
            long start = System.nanoTime();
            held = answer.apply(ids);
            taken[place] = System.nanoTime() - start;
        }
        return taken;
    }

    private List<String> lists(String name) throws IOException {
        return Files.readAllLines(folder.resolve(name), StandardCharsets.US_ASCII);
    }
}
