package bedeck.hollow;

import com.netflix.hollow.core.schema.HollowListSchema;
import com.netflix.hollow.core.schema.HollowObjectSchema;
import com.netflix.hollow.core.schema.HollowObjectSchema.FieldType;
import com.netflix.hollow.core.write.HollowBlobWriter;
import com.netflix.hollow.core.write.HollowListTypeWriteState;
import com.netflix.hollow.core.write.HollowListWriteRecord;
import com.netflix.hollow.core.write.HollowObjectTypeWriteState;
import com.netflix.hollow.core.write.HollowObjectWriteRecord;
import com.netflix.hollow.core.write.HollowWriteStateEngine;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Builds a snapshot: `Produce FOLDER BLOB`, a folder of columns and the file to write.
 *
 * <p>A type has its fields inline, keys and texts too. References are Hollow's, as are lists; words of a small set
 * (labels, genres, countries) are records of a type `Word`, of which Hollow keeps one each. As a list has no place for
 * nothing, what is not there is a record without a value.
 */
public final class Produce {
    private static final List<String> TYPES = List.of("artist", "album", "track");
    private static final String KEY = "id";
    private static final String WORD = "Word";
    private static final int BUFFER = 1 << 20;

    private interface Setter {
        void set(HollowObjectWriteRecord record, int row);
    }

    private final HollowWriteStateEngine engine = new HollowWriteStateEngine();
    private final HollowObjectSchema words = new HollowObjectSchema(WORD, 1);
    private final HollowListWriteRecord list = new HollowListWriteRecord();
    private final Map<String, int[]> ordinals = new HashMap<>(); // of the rows of each type

    private Produce() {
        words.addField("text", FieldType.STRING);
        engine.addTypeState(new HollowObjectTypeWriteState(words));
    }

    public static void main(String[] arguments) throws IOException {
        Produce produce = new Produce();
        for (String type : TYPES) {
            try (Columns columns = new Columns(Path.of(arguments[0], type))) {
                produce.add(type, columns);
            }
        }
        try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(Path.of(arguments[1])), BUFFER)) {
            new HollowBlobWriter(produce.engine).writeSnapshot(out);
        }
    }

    private void add(String type, Columns columns) throws IOException {
        HollowObjectSchema schema = schema(type, columns.heads);
        engine.addTypeState(new HollowObjectTypeWriteState(schema));
        HollowObjectWriteRecord record = new HollowObjectWriteRecord(schema);
        int[] added = new int[0];
        for (int rows = columns.count(); rows > 0; rows = columns.count()) {
            Setter[] setters = setters(columns, rows);
            int start = added.length;
            added = Arrays.copyOf(added, start + rows);
            for (int row = 0; row < rows; row++) {
                record.reset();
                for (Setter setter : setters) {
                    setter.set(record, row);
                }
                added[start + row] = engine.add(type, record);
            }
        }
        ordinals.put(type, added);
    }

    private HollowObjectSchema schema(String type, List<Columns.Head> heads) {
        HollowObjectSchema schema = new HollowObjectSchema(type, heads.size(), KEY);
        for (Columns.Head head : heads) {
            switch (head.kind()) {
                case "text" -> schema.addField(head.name(), FieldType.STRING);
                case "int" -> schema.addField(head.name(), FieldType.INT);
                case "long" -> schema.addField(head.name(), FieldType.LONG);
                case "boolean" -> schema.addField(head.name(), FieldType.BOOLEAN);
                case "reference" -> schema.addField(head.name(), FieldType.REFERENCE, head.target());
                case "references" -> schema.addField(head.name(), FieldType.REFERENCE, lists(head.target()));
                case "word" -> schema.addField(head.name(), FieldType.REFERENCE, WORD);
                case "words" -> schema.addField(head.name(), FieldType.REFERENCE, lists(WORD));
                default -> throw new IllegalArgumentException(head.kind());
            }
        }
        return schema;
    }

    /** The type of lists of that type, which is added when it is first asked for. */
    private String lists(String type) {
        String name = "ListOf" + type;
        if (engine.getTypeState(name) == null) {
            engine.addTypeState(new HollowListTypeWriteState(new HollowListSchema(name, type)));
        }
        return name;
    }

    private Setter[] setters(Columns columns, int rows) throws IOException {
        Setter[] setters = new Setter[columns.heads.size()];
        for (int place = 0; place < setters.length; place++) {
            byte[] there = columns.bytes(rows);
            Setter setter = setter(columns, columns.heads.get(place), rows);
            setters[place] = (record, row) -> {
                if (there[row] != 0) {
                    setter.set(record, row);
                }
            };
        }
        return setters;
    }

    private Setter setter(Columns columns, Columns.Head head, int rows) throws IOException {
        String name = head.name();
        switch (head.kind()) {
            case "text" -> {
                Columns.Texts texts = columns.texts(rows);
                return (record, row) -> record.setString(name, texts.get(row));
            }
            case "int" -> {
                int[] numbers = columns.ints(rows);
                return (record, row) -> record.setInt(name, numbers[row]);
            }
            case "long" -> {
                long[] numbers = columns.longs(rows);
                return (record, row) -> record.setLong(name, numbers[row]);
            }
            case "boolean" -> {
                byte[] flags = columns.bytes(rows);
                return (record, row) -> record.setBoolean(name, flags[row] != 0);
            }
            case "reference", "word" -> {
                int[] targets = targets(columns, head);
                int[] numbers = columns.ints(rows);
                return (record, row) -> record.setReference(name, targets[numbers[row]]);
            }
            default -> {
                String type = head.kind().equals("words") ? WORD : head.target();
                int[] targets = targets(columns, head);
                int[] ends = columns.ints(rows + 1);
                int[] numbers = columns.ints(ends[rows]);
                return (record, row) -> record.setReference(name, list(type, targets, numbers, ends[row], ends[row + 1]));
            }
        }
    }

    private int[] targets(Columns columns, Columns.Head head) throws IOException {
        return head.target().isEmpty() ? words(columns.texts(columns.count())) : ordinals.get(head.target());
    }

    private int[] words(Columns.Texts texts) {
        HollowObjectWriteRecord record = new HollowObjectWriteRecord(words);
        int[] added = new int[texts.size()];
        for (int place = 0; place < added.length; place++) {
            record.reset();
            record.setString("text", texts.get(place));
            added[place] = engine.add(WORD, record);
        }
        return added;
    }

    private int list(String type, int[] targets, int[] numbers, int start, int end) {
        list.reset();
        for (int place = start; place < end; place++) {
            list.addElement(numbers[place] < 0 ? nothing(type) : targets[numbers[place]]);
        }
        return engine.add(lists(type), list);
    }

    private int nothing(String type) {
        return engine.add(type, new HollowObjectWriteRecord((HollowObjectSchema) engine.getSchema(type)));
    }
}
