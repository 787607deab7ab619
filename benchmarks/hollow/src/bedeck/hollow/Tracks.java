package bedeck.hollow;

import com.netflix.hollow.core.index.HollowPrimaryKeyIndex;
import com.netflix.hollow.core.read.engine.HollowReadStateEngine;
import com.netflix.hollow.core.read.engine.list.HollowListTypeReadState;
import com.netflix.hollow.core.read.engine.object.HollowObjectTypeReadState;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Answers lists of track ids, from the read states of the types: what Hollow's generated classes call, without them.
 *
 * <p>Finds an id through the index of the primary key, one at a time, as that is how Hollow can be asked.
 */
final class Tracks {
    private static final byte[] TITLE = Json.ascii("{\"title\":");
    private static final byte[] ARTISTS = Json.ascii(",\"artists\":");
    private static final byte[] NAME = Json.ascii("{\"name\":");
    private static final byte[] EXPLICIT = Json.ascii(",\"explicit\":");
    private static final byte[] POPULARITY = Json.ascii(",\"popularity\":");
    private static final byte[] DURATION = Json.ascii(",\"duration_ms\":");
    private static final byte[] ISRC = Json.ascii(",\"isrc\":");
    private static final byte[] ALBUM = Json.ascii(",\"album_id\":");

    private final HollowPrimaryKeyIndex index;
    private final HollowObjectTypeReadState tracks;
    private final HollowObjectTypeReadState albums;
    private final HollowObjectTypeReadState artists;
    private final HollowListTypeReadState credits;
    private final int title;
    private final int credited;
    private final int album;
    private final int duration;
    private final int explicit;
    private final int popularity;
    private final int isrc;
    private final int number;
    private final int albumId;
    private final int name;
    private final Json json = new Json();

    Tracks(HollowReadStateEngine engine) {
        index = new HollowPrimaryKeyIndex(engine, "track", "id");
        tracks = (HollowObjectTypeReadState) engine.getTypeState("track");
        albums = (HollowObjectTypeReadState) engine.getTypeState("album");
        artists = (HollowObjectTypeReadState) engine.getTypeState("artist");
        credits = (HollowListTypeReadState) engine.getTypeState("ListOfartist");
        title = tracks.getSchema().getPosition("title");
        credited = tracks.getSchema().getPosition("artists");
        album = tracks.getSchema().getPosition("album");
        duration = tracks.getSchema().getPosition("duration_ms");
        explicit = tracks.getSchema().getPosition("explicit");
        popularity = tracks.getSchema().getPosition("popularity");
        isrc = tracks.getSchema().getPosition("isrc");
        number = tracks.getSchema().getPosition("track_number");
        albumId = albums.getSchema().getPosition("id");
        name = artists.getSchema().getPosition("name");
    }

    /** A map of eight fields for each id, null for one that is unknown. */
    List<Map<String, Object>> maps(String[] ids) {
        List<Map<String, Object>> answer = new ArrayList<>(ids.length);
        for (String id : ids) {
            int track = index.getMatchingOrdinal(id);
            answer.add(track < 0 ? null : map(id, track));
        }
        return answer;
    }

    /** A JSON array of an object for each id, `null` for one that is unknown. */
    byte[] json(String[] ids) {
        json.start();
        char before = '[';
        for (String id : ids) {
            json.raw(before);
            before = ',';
            int track = index.getMatchingOrdinal(id);
            if (track < 0) {
                json.none();
            } else {
                object(track);
            }
        }
        return json.raw(']').finish();
    }

    private Map<String, Object> map(String id, int track) {
        Map<String, Object> map = new HashMap<>();
        map.put("id", id);
        map.put("title", tracks.readString(track, title));
        map.put("album_id", album(track));
        map.put("duration_ms", number(tracks.readInt(track, duration)));
        map.put("explicit", tracks.readBoolean(track, explicit));
        map.put("popularity", number(tracks.readInt(track, popularity)));
        map.put("isrc", tracks.readString(track, isrc));
        map.put("track_number", number(tracks.readInt(track, number)));
        return map;
    }

    private static Integer number(int value) {
        return value == Integer.MIN_VALUE ? null : (Integer) value;
    }

    private void object(int track) {
        json.raw(TITLE).text(tracks.readString(track, title));
        artists(tracks.readOrdinal(track, credited));
        json.raw(EXPLICIT).flag(tracks.readBoolean(track, explicit));
        json.raw(POPULARITY).number(tracks.readInt(track, popularity));
        json.raw(DURATION).number(tracks.readInt(track, duration));
        json.raw(ISRC).text(tracks.readString(track, isrc));
        json.raw(ALBUM).text(album(track)).raw('}');
    }

    private void artists(int list) {
        json.raw(ARTISTS);
        if (list < 0) {
            json.none();
            return;
        }
        json.raw('[');
        for (int place = 0, size = credits.size(list); place < size; place++) {
            if (place > 0) {
                json.raw(',');
            }
            artist(artists.readString(credits.getElementOrdinal(list, place), name));
        }
        json.raw(']');
    }

    /** Every artist has a name: without one, it stands for an artist who is not there. */
    private void artist(String named) {
        if (named == null) {
            json.none();
        } else {
            json.raw(NAME).text(named).raw('}');
        }
    }

    private String album(int track) {
        int ordinal = tracks.readOrdinal(track, album);
        return ordinal < 0 ? null : albums.readString(ordinal, albumId);
    }
}
