package bedeck.hollow;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Writes JSON as UTF-8 into one buffer, which is used again for the next text. Not for several threads. */
final class Json {
    private static final byte[] NULL = ascii("null");
    private static final byte[] TRUE = ascii("true");
    private static final byte[] FALSE = ascii("false");
    private static final byte[] HEXADECIMAL = ascii("0123456789abcdef");
    private static final int MOST_A_CHAR = 6; // \u0000
    private static final int MOST_A_NUMBER = 20;

    private byte[] buffer = new byte[1 << 16];
    private int length;
    private final byte[] digits = new byte[MOST_A_NUMBER];

    static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    Json start() {
        length = 0;
        return this;
    }

    byte[] finish() {
        return Arrays.copyOf(buffer, length);
    }

    Json raw(byte[] bytes) {
        room(bytes.length);
        System.arraycopy(bytes, 0, buffer, length, bytes.length);
        length += bytes.length;
        return this;
    }

    Json raw(char one) {
        room(1);
        buffer[length++] = (byte) one;
        return this;
    }

    Json none() {
        return raw(NULL);
    }

    Json flag(Boolean value) {
        return raw(value == null ? NULL : value ? TRUE : FALSE);
    }

    /** Hollow's least value stands for none. */
    Json number(int value) {
        if (value == Integer.MIN_VALUE) {
            return none();
        }
        room(MOST_A_NUMBER);
        if (value < 0) {
            buffer[length++] = '-';
        }
        int left = Math.abs(value);
        int first = MOST_A_NUMBER;
        do {
            digits[--first] = (byte) ('0' + left % 10);
            left /= 10;
        } while (left != 0);
        System.arraycopy(digits, first, buffer, length, MOST_A_NUMBER - first);
        length += MOST_A_NUMBER - first;
        return this;
    }

    Json text(String text) {
        if (text == null) {
            return none();
        }
        int chars = text.length();
        room(chars * MOST_A_CHAR + 2);
        byte[] into = buffer;
        int at = length;
        into[at++] = '"';
        for (int place = 0; place < chars; place++) {
            char one = text.charAt(place);
            if (one >= ' ' && one < 0x80 && one != '"' && one != '\\') {
                into[at++] = (byte) one;
            } else if (one < 0x80) {
                at = escape(into, at, one);
            } else if (one < 0x800) {
                into[at++] = (byte) (0xC0 | one >> 6);
                into[at++] = (byte) (0x80 | one & 0x3F);
            } else if (Character.isHighSurrogate(one)) {
                int point = Character.toCodePoint(one, text.charAt(++place));
                into[at++] = (byte) (0xF0 | point >> 18);
                into[at++] = (byte) (0x80 | point >> 12 & 0x3F);
                into[at++] = (byte) (0x80 | point >> 6 & 0x3F);
                into[at++] = (byte) (0x80 | point & 0x3F);
            } else {
                into[at++] = (byte) (0xE0 | one >> 12);
                into[at++] = (byte) (0x80 | one >> 6 & 0x3F);
                into[at++] = (byte) (0x80 | one & 0x3F);
            }
        }
        into[at++] = '"';
        length = at;
        return this;
    }

    /** Lists of maps of texts, numbers and flags: what is compared, never what is timed. */
    Json value(Object value) {
        if (value instanceof List<?> items) {
            char before = '[';
            for (Object item : items) {
                raw(before).value(item);
                before = ',';
            }
            return items.isEmpty() ? raw(before).raw(']') : raw(']');
        }
        if (value instanceof Map<?, ?> members) {
            char before = '{';
            for (Map.Entry<?, ?> member : members.entrySet()) {
                raw(before).text((String) member.getKey()).raw(':').value(member.getValue());
                before = ',';
            }
            return members.isEmpty() ? raw(before).raw('}') : raw('}');
        }
        if (value instanceof Integer number) {
            return number(number);
        }
        return value instanceof Boolean flag ? flag(flag) : text((String) value);
    }

    private static int escape(byte[] into, int at, char one) {
        into[at++] = '\\';
        if (one == '"' || one == '\\') {
            into[at++] = (byte) one;
            return at;
        }
        into[at++] = 'u';
        into[at++] = '0';
        into[at++] = '0';
        into[at++] = HEXADECIMAL[one >> 4];
        into[at++] = HEXADECIMAL[one & 0xF];
        return at;
    }

    private void room(int more) {
        if (buffer.length - length < more) {
            buffer = Arrays.copyOf(buffer, Math.max(2 * buffer.length, length + more));
        }
    }
}
